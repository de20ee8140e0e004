-- The countries whose flags were answered most. Variable: limit.
-- Answers are counted by question first (in the index alone), so that the joins meet a row a question, not a row an answer.
SELECT c.name, c.flag_emoji, pg_catalog.sum(answers.count)::bigint AS guess_count
FROM (SELECT question_id, pg_catalog.count(*) FROM flags_useranswer GROUP BY question_id) AS answers
JOIN flags_question AS q ON q.id = answers.question_id
JOIN flags_country AS c ON c.id = q.country_id
GROUP BY c.id
ORDER BY guess_count DESC, c.name
LIMIT :'limit'::bigint;
