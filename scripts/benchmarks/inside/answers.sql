-- :answers answers, as the game makes them: half to the daily questions of :days days, half to practice questions, one each.
-- Without foreign keys' checks (this is the superuser's session): everything refers to what is made here.
SET session_replication_role = replica;
SET synchronous_commit = off;

INSERT INTO users_user (id, password, is_superuser, email, display_name, is_staff, is_active, date_joined)
SELECT n, '!' || md5(n::text), false, 'player' || n || '@example.org', 'Player ' || n, false, true, now() - n * interval '1 minute'
FROM generate_series(1, :answers / 2 / :days) AS n;

INSERT INTO flags_dailychallenge (id, date, country_id, selection_algorithm_version)
SELECT n, date '2020-01-01' + n, (SELECT min(id) FROM flags_country) + n % 190, 1 FROM generate_series(1, :days) AS n;

INSERT INTO flags_question (id, kind, country_id, challenge_id, user_id, options, is_open, created_at)
SELECT n, 'daily', c, n, NULL, ARRAY[c, c + 1, c + 2, c + 3], false, now() - n * interval '1 day'
FROM generate_series(1, :days) AS n, LATERAL (SELECT (SELECT min(id) FROM flags_country) + n % 190 AS c) AS x;

INSERT INTO flags_question (id, kind, country_id, challenge_id, user_id, options, is_open, created_at)
SELECT :days + n, 'practice', c, NULL, 1 + n % (:answers / 2 / :days), ARRAY[c + 2, c, c + 3, c + 1], false, now() - random() * interval '900 days'
FROM generate_series(1, :answers / 2) AS n, LATERAL (SELECT (SELECT min(id) FROM flags_country) + (n * 7) % 190 AS c) AS x;

INSERT INTO flags_useranswer (user_id, question_id, answered_country_id, is_correct, answered_at)
SELECT u, q, (SELECT min(id) FROM flags_country) + (u * 31 + q) % 195, random() < 0.7, now() - q * interval '1 day' + random() * interval '1 day'
FROM generate_series(1, :days) AS q, generate_series(1, :answers / 2 / :days) AS u;

INSERT INTO flags_useranswer (user_id, question_id, answered_country_id, is_correct, answered_at)
SELECT user_id, id, options[1 + (random() * 3)::int], random() < 0.7, created_at + random() * interval '1 minute'
FROM flags_question WHERE kind = 'practice';

SELECT setval(pg_get_serial_sequence(t, 'id'), 10 * :answers)
FROM unnest(ARRAY['users_user', 'flags_dailychallenge', 'flags_question', 'flags_useranswer']) AS t;
VACUUM ANALYZE;
