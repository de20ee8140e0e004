-- The sums that differ from the answers up to the high-water mark: country, day of the challenge, counted, stored.
WITH counted AS (
    SELECT q.country_id, coalesce(q.challenge_id, 0) AS challenge_id, count(*) AS guesses
    FROM flags_useranswer AS a
    JOIN flags_question AS q ON q.id = a.question_id
    WHERE a.id <= (SELECT max(counted_to) FROM flags_guesscounting)
    GROUP BY 1, 2
),
stored AS (
    SELECT country_id, coalesce(challenge_id, 0) AS challenge_id, guesses
    FROM flags_guesscount
)
SELECT c.name, d.date, coalesce(counted.guesses, 0), coalesce(stored.guesses, 0)
FROM counted
FULL JOIN stored USING (country_id, challenge_id)
JOIN flags_country AS c ON c.id = country_id
LEFT JOIN flags_dailychallenge AS d ON d.id = challenge_id
WHERE coalesce(counted.guesses, 0) <> coalesce(stored.guesses, 0)
ORDER BY c.name, d.date
