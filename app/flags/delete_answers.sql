-- Deletes a user's newest answers, at most `limit`, with their practice questions, and subtracts those up to `counted_to` from
-- the sums. Returns the number of answers.
-- The caller has locked flags_guesscounting, so the high-water mark does not move.
WITH gone AS (
    DELETE FROM flags_useranswer
    WHERE id IN (SELECT id FROM flags_useranswer WHERE user_id = %(user)s ORDER BY id DESC LIMIT %(limit)s)
    RETURNING id, question_id
),
counted AS (
    SELECT q.country_id, q.challenge_id, count(*) AS guesses
    FROM gone
    JOIN flags_question AS q ON q.id = gone.question_id
    WHERE gone.id <= %(counted_to)s
    GROUP BY q.country_id, q.challenge_id
),
asked AS (
    DELETE FROM flags_question AS q USING gone WHERE q.id = gone.question_id AND q.user_id = %(user)s
),
subtracted AS (
    UPDATE flags_guesscount AS sums
    SET guesses = sums.guesses - counted.guesses
    FROM counted
    WHERE sums.country_id = counted.country_id AND sums.challenge_id IS NOT DISTINCT FROM counted.challenge_id
)
SELECT count(*) FROM gone
