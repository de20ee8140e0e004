-- Players :first to :last, each with 200 answers: half to daily questions of the last :days days, half to practice questions.
-- Written day by day, as they would be given, so that a player's rows are spread over the table. Without foreign key checks.
SET session_replication_role = replica;

-- With :bulk, no durability meanwhile, and indexes are built afterwards: inserting into trees larger than memory takes an hour.
\if :bulk
ALTER SYSTEM SET fsync = off;
ALTER SYSTEM SET full_page_writes = off;
ALTER SYSTEM SET max_wal_size = '8GB';
ALTER SYSTEM SET autovacuum = off;
SELECT pg_reload_conf();
SET synchronous_commit = off;
SET maintenance_work_mem = '512MB';
CREATE TEMPORARY TABLE index AS
SELECT format('%s', indrelid::regclass) AS "table", format('%s', indexrelid::regclass) AS name, conname,
       coalesce(pg_get_constraintdef(pg_constraint.oid), pg_get_indexdef(indexrelid)) AS definition
FROM pg_index LEFT JOIN pg_constraint ON conindid = indexrelid AND contype = 'u'
WHERE indrelid IN ('flags_useranswer'::regclass, 'flags_question'::regclass) AND NOT indisprimary;
SELECT CASE WHEN conname IS NULL THEN format('DROP INDEX %s', name)
            ELSE format('ALTER TABLE %s DROP CONSTRAINT %I', "table", conname) END FROM index \gexec
\endif

INSERT INTO users_user (id, password, is_superuser, email, display_name, is_staff, is_active, date_joined)
SELECT n, '!' || md5(n::text), false, 'player' || n || '@example.org', 'Player ' || n, false, true, now() - n * interval '1 minute'
FROM generate_series(:first, :last) AS n;

INSERT INTO users_userstats (user_id, total_answers, total_correct, current_streak, longest_streak, last_guess_date)
SELECT n, 200, 100 + n % 100, CASE WHEN n % 5 = 0 THEN n % 40 ELSE 0 END, 40 + n % 60,
       (now() AT TIME ZONE 'UTC')::date - CASE WHEN n % 5 = 0 THEN n % 2 ELSE 2 + n % 90 END
FROM generate_series(:first, :last) AS n;

-- Once: the days until today, each with its question.
CREATE TEMPORARY TABLE day AS
SELECT n, (now() AT TIME ZONE 'UTC')::date - (:days - n) AS date, (SELECT min(id) FROM flags_country) + n * 7 % 190 AS country
FROM generate_series(1, :days) AS n WHERE :first = 1;
INSERT INTO flags_dailychallenge (id, date, country_id, selection_algorithm_version) SELECT n, date, country, 1 FROM day;
INSERT INTO flags_question (id, kind, country_id, challenge_id, user_id, options, is_open, created_at)
SELECT n, 'daily', country, n, NULL, ARRAY[country, country + 1, country + 2, country + 3], false, date FROM day;
SELECT setval(pg_get_serial_sequence('flags_question', 'id'), :days) WHERE :first = 1;

-- Each day, a tenth of the players answer a practice question, and another tenth the day's own.
SELECT format($$
    WITH day AS (SELECT min(id) AS first, now() - interval '1 day' * (%3$s - %4$s) AS at FROM flags_country),
    asked AS (
        INSERT INTO flags_question (kind, country_id, challenge_id, user_id, options, is_open, created_at)
        SELECT 'practice', c, NULL, n, ARRAY[c + 2, c, c + 3, c + 1], false, at
        FROM day, generate_series(%1$s + (%4$s %% 10 - %1$s %% 10 + 10) %% 10, %2$s, 10) AS n,
             LATERAL (SELECT first + (190 * random() * random())::int + 0 * n AS c) AS x
        RETURNING user_id, id)
    INSERT INTO flags_useranswer (user_id, question_id, answered_country_id, is_correct, answered_at)
    SELECT user_id, id, first, random() < 0.7, at FROM day, asked
    UNION ALL
    SELECT n, %4$s, first, random() < 0.7, at FROM day, generate_series(%1$s, %2$s) AS n
    WHERE ((%4$s - 7 * n) %% %3$s + %3$s) %% %3$s < 100
$$, :first, :last, :days, n) FROM generate_series(1, :days) AS n \gexec

\if :bulk
SELECT CASE WHEN conname IS NULL THEN definition
            ELSE format('ALTER TABLE %s ADD CONSTRAINT %I %s', "table", conname, definition) END FROM index \gexec
\endif

SELECT setval(pg_get_serial_sequence(t, 'id'), 1000000000) FROM unnest(ARRAY['users_user', 'flags_dailychallenge']) AS t;
VACUUM ANALYZE users_user, users_userstats, flags_dailychallenge, flags_question, flags_useranswer;

\if :bulk
ALTER SYSTEM RESET ALL;
SELECT pg_reload_conf();
CHECKPOINT;
\endif
