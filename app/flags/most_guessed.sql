-- The countries whose flags were answered most: the sums up to the high-water mark, plus each answer above it.
-- One statement, hence one snapshot: the mark can't move between the two parts. generate_series tells the planner that
-- the second part is short: it looks each answer up by its id, whatever the size of the table.
WITH guess AS (
    SELECT country_id, challenge_id, guesses
    FROM flags_guesscount
    UNION ALL
    SELECT q.country_id, q.challenge_id, 1
    FROM generate_series(
        (SELECT coalesce(max(counted_to), 0) + 1 FROM flags_guesscounting),
        (SELECT max(id) FROM flags_useranswer)
    ) AS n
    JOIN flags_useranswer AS a ON a.id = n
    JOIN flags_question AS q ON q.id = a.question_id
)
SELECT c.code, c.name, c.flag_emoji, sum(guess.guesses)::bigint AS guesses
FROM guess
JOIN flags_country AS c ON c.id = guess.country_id
LEFT JOIN flags_dailychallenge AS d ON d.id = guess.challenge_id
WHERE d.date IS NULL OR d.date < %(before)s
GROUP BY c.id
HAVING sum(guess.guesses) > 0
ORDER BY guesses DESC, c.name
LIMIT %(limit)s
