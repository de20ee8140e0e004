-- Players :first to :last join, each with 200 answers: half to daily questions of the last :days days, half to practice questions.
-- Answers lie in the order in which they were given, so that one person's are spread over the table, as a real one's are.
-- Without foreign keys' checks (this is the superuser's session): everything refers to what is made here.
SET session_replication_role = replica;

INSERT INTO users_user (id, password, is_superuser, email, display_name, is_staff, is_active, date_joined)
SELECT n, '!' || md5(n::text), false, 'player' || n || '@example.org', 'Player ' || n, false, true, now() - n * interval '1 minute'
FROM generate_series(:first, :last) AS n;

-- Once: the days until today.
CREATE TEMPORARY TABLE day AS
SELECT n, (now() AT TIME ZONE 'UTC')::date - (:days - n) AS date, (SELECT min(id) FROM flags_country) + n * 7 % 190 AS country
FROM generate_series(1, :days) AS n WHERE :first = 1;
INSERT INTO flags_dailychallenge (id, date, country_id, selection_algorithm_version) SELECT n, date, country, 1 FROM day;
INSERT INTO flags_question (id, kind, country_id, challenge_id, user_id, options, is_open, created_at)
SELECT n, 'daily', country, n, NULL, ARRAY[country, country + 1, country + 2, country + 3], false, date FROM day;

-- A question or an answer before it has its number. Daily ones know their question; a country's share falls with its number.
CREATE TEMPORARY TABLE given AS
SELECT n AS person, 1 + (n * 7 + k) % :days AS question, 0 AS country,
       now() - interval '1 day' * ((:days - 1) - (n * 7 + k) % :days) AS at
FROM generate_series(:first, :last) AS n, generate_series(0, 99) AS k
UNION ALL
SELECT n, NULL, (SELECT min(id) FROM flags_country) + (190 * random() * random())::int, now() - random() * :days * interval '1 day'
FROM generate_series(:first, :last) AS n, generate_series(1, 100);

CREATE TEMPORARY TABLE ordered AS
SELECT person, country, at,
       coalesce(question, (SELECT max(id) FROM flags_question) + row_number() OVER (PARTITION BY question IS NULL ORDER BY at)) AS question
FROM given;

INSERT INTO flags_question (id, kind, country_id, challenge_id, user_id, options, is_open, created_at)
SELECT question, 'practice', country, NULL, person, ARRAY[country + 2, country, country + 3, country + 1], false, at
FROM ordered WHERE country > 0 ORDER BY question;

INSERT INTO flags_useranswer (user_id, question_id, answered_country_id, is_correct, answered_at)
SELECT person, question, (SELECT min(id) FROM flags_country), random() < 0.7, at FROM ordered ORDER BY at;

INSERT INTO users_userstats (user_id, total_answers, total_correct, current_streak, longest_streak, last_guess_date)
SELECT n, 200, 100 + n % 100, CASE WHEN n % 5 = 0 THEN n % 40 ELSE 0 END, 40 + n % 60,
       (now() AT TIME ZONE 'UTC')::date - CASE WHEN n % 5 = 0 THEN n % 2 ELSE 2 + n % 90 END
FROM generate_series(:first, :last) AS n;

SELECT setval(pg_get_serial_sequence(t, 'id'), 1000000000) FROM unnest(ARRAY['users_user', 'flags_dailychallenge', 'flags_question']) AS t;
VACUUM ANALYZE users_user, users_userstats, flags_dailychallenge, flags_question, flags_useranswer;
