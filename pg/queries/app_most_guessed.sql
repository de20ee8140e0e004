-- The countries whose flags were answered most. Variable: limit.
-- The sums that the game keeps up to an answer (`manage.py recount_statistics` proves them), and the answers after it one by one.
SELECT c.name, c.flag_emoji, pg_catalog.sum(guess.guesses)::bigint AS guess_count
FROM (SELECT country_id, guesses FROM public.flags_guesscount
      UNION ALL
      SELECT q.country_id, 1
      FROM pg_catalog.generate_series((SELECT coalesce(pg_catalog.max(counted_to), 0) + 1 FROM public.flags_guesscounting),
                                      (SELECT pg_catalog.max(id) FROM public.flags_useranswer)) AS n
      JOIN public.flags_useranswer AS a ON a.id = n
      JOIN public.flags_question AS q ON q.id = a.question_id) AS guess
JOIN public.flags_country AS c ON c.id = guess.country_id
GROUP BY c.id
HAVING pg_catalog.sum(guess.guesses) > 0
ORDER BY guess_count DESC, c.name
LIMIT :'limit'::bigint;
