-- Each person's share of right answers, the best first. Variable: limit.
-- From the totals that are kept beside the answers (`manage.py recount_statistics` proves them): a row a person, not a row an answer;
-- in the order of the index userstats_accuracy, so that a limit reads no more than it shows.
SELECT u.email, us.total_answers, us.total_correct AS correct,
       pg_catalog.round(100.0 * us.total_correct / us.total_answers, 2) AS accuracy_pct
FROM public.users_userstats AS us
JOIN public.users_user AS u ON u.id = us.user_id
WHERE us.total_answers > 0
ORDER BY accuracy_pct DESC, us.total_answers DESC, us.user_id
LIMIT :'limit'::bigint;
