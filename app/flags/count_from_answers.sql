-- Totals counted from the answers beside the stored totals: user, five counted, five stored. All users, or the one of
-- user_id. Streaks are as of "today": one that a missed day has ended is 0 on both sides.
-- One statement, hence one snapshot for both sides.
WITH answer AS (
    SELECT a.user_id, a.is_correct, c.date
    FROM flags_useranswer AS a
    JOIN flags_question AS q ON q.id = a.question_id
    LEFT JOIN flags_dailychallenge AS c ON c.id = q.challenge_id
    WHERE %(user_id)s::bigint IS NULL OR a.user_id = %(user_id)s::bigint
),
total AS (
    SELECT user_id, count(*) AS answers, count(*) FILTER (WHERE is_correct) AS correct, max(date) AS last_guess_date
    FROM answer
    GROUP BY user_id
),
-- In a run of consecutive days, day minus row number is the same date: that date identifies the run.
correct_day AS (
    SELECT user_id, date, date - row_number() OVER (PARTITION BY user_id ORDER BY date)::int AS run
    FROM answer
    WHERE is_correct AND date IS NOT NULL
),
run AS (
    SELECT user_id, count(*) AS days, max(date) AS last_day
    FROM correct_day
    GROUP BY user_id, run
),
streak AS (
    SELECT run.user_id,
           max(days) AS longest,
           max(days) FILTER (WHERE last_day = total.last_guess_date AND last_day >= %(today)s::date - 1) AS current
    FROM run
    JOIN total USING (user_id)
    GROUP BY run.user_id
),
stored AS (
    SELECT *
    FROM users_userstats
    WHERE %(user_id)s::bigint IS NULL OR user_id = %(user_id)s::bigint
)
SELECT coalesce(total.user_id, stored.user_id),
       coalesce(total.answers, 0),
       coalesce(total.correct, 0),
       coalesce(streak.current, 0),
       coalesce(streak.longest, 0),
       total.last_guess_date,
       coalesce(stored.total_answers, 0),
       coalesce(stored.total_correct, 0),
       CASE WHEN stored.last_guess_date >= %(today)s::date - 1 THEN stored.current_streak ELSE 0 END,
       coalesce(stored.longest_streak, 0),
       stored.last_guess_date
FROM total
LEFT JOIN streak ON streak.user_id = total.user_id
FULL JOIN stored ON stored.user_id = total.user_id
ORDER BY 1
