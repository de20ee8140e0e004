"""What of an archive's table of contents is restored."""

from pgclient import toc

LISTING = """\
;
; Archive created at 2026-11-27 03:15:00 UTC
;     dbname: blog
;
5; 2615 2200 SCHEMA - public postgres
6; 2615 2201 SCHEMA - public2 postgres
2; 3079 16385 EXTENSION - pg_trgm\x20
4001; 0 0 COMMENT - EXTENSION pg_trgm\x20
3; 3079 16386 EXTENSION - rds_tools\x20
4002; 0 0 COMMENT - EXTENSION rds_tools\x20
4003; 0 0 COMMENT - SCHEMA public postgres
7; 2612 16390 PROCEDURAL LANGUAGE - plpgsql postgres
4004; 0 0 COMMENT - LANGUAGE plpgsql postgres
4005; 0 0 COMMENT public TABLE author postgres
210; 1259 16400 TABLE public author postgres
211; 1259 16401 TABLE public my book postgres
3301; 0 16400 TABLE DATA public author postgres
3302; 0 16401 TABLE DATA public my book postgres
3303; 0 0 SEQUENCE SET public author_id_seq postgres
3150; 2606 16410 CONSTRAINT public author author_pkey postgres
3160; 2606 16420 FK CONSTRAINT public my book my_book_author_fkey postgres
3170; 3466 16430 EVENT TRIGGER - pgrst_watch supabase_admin
4006; 0 0 COMMENT - EVENT TRIGGER pgrst_watch supabase_admin
3180; 6104 16440 PUBLICATION - everything postgres
3181; 6106 16441 PUBLICATION TABLE public everything author postgres
3182; 6237 16442 PUBLICATION TABLES IN SCHEMA - everything public postgres
3190; 6100 16450 SUBSCRIPTION - copy postgres
3195; 0 0 SECURITY LABEL public TABLE author postgres
3400; 0 0 ACL - SCHEMA public postgres
3401; 0 0 ACL public TABLE author postgres
"""


def restored(only_rows_of: str = "", keys: bool = True) -> list[str]:
    found = toc.restored(toc.entries(LISTING), {"pg_trgm"}.__contains__, only_rows_of, keys)
    return [line.split(";")[0] for line in found]


def test_what_the_policy_makes_or_needs_a_superuser_is_left_out() -> None:
    wanted = ["6", "2", "4001", "4005", "210", "211", "3301", "3302", "3303", "3150", "3160"]
    assert restored() == wanted


def test_the_rows_of_one_table() -> None:
    assert "3302" not in restored("public.author")
    assert "3301" not in restored("public.my book")
    assert "3302" in restored("public.my book")
    assert {"210", "211"} <= set(restored("public.author")), "the definitions of all tables come, too"


def test_without_foreign_keys() -> None:
    assert set(restored()) - set(restored(keys=False)) == {"3160"}
