-- Who has a streak: answered right yesterday or today, and the days before. Variable: limit.
-- A streak that broke is reset by `manage.py expire_streaks`; until then its last day tells. In the order of the
-- index userstats_streaks.
SELECT u.email, us.current_streak, us.last_guess_date
FROM public.users_userstats AS us
JOIN public.users_user AS u ON u.id = us.user_id
WHERE us.current_streak > 0 AND us.last_guess_date >= (pg_catalog.now() AT TIME ZONE 'UTC')::date - 1
ORDER BY us.current_streak DESC, us.user_id
LIMIT :'limit'::bigint;
