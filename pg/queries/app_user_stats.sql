-- Totals and streaks of all players, the most right answers first. Variable: limit.
-- In the order of the index userstats_leaderboard, so that a limit reads no more than it shows.
SELECT u.email, us.total_correct, us.current_streak, us.longest_streak
FROM public.users_userstats AS us
JOIN public.users_user AS u ON u.id = us.user_id
ORDER BY us.total_correct DESC, us.longest_streak DESC, us.user_id
LIMIT :'limit'::bigint;
