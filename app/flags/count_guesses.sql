-- Adds the answers with ids above `after`, up to `upto`, to the sums.
INSERT INTO flags_guesscount AS sums (country_id, challenge_id, guesses)
SELECT q.country_id, q.challenge_id, count(*)
FROM flags_useranswer AS a
JOIN flags_question AS q ON q.id = a.question_id
WHERE a.id > %(after)s AND a.id <= %(upto)s
GROUP BY q.country_id, q.challenge_id
ON CONFLICT (country_id, challenge_id) DO UPDATE SET guesses = sums.guesses + excluded.guesses
