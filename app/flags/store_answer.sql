-- An answer and the totals that count it, in one statement: both or neither. It stores nothing, and returns no row, when
-- the totals are no longer those that the new ones were computed from, or when the question has the user's answer.
WITH counted AS (
    UPDATE users_userstats
    SET (total_answers, total_correct, current_streak, longest_streak, last_guess_date) = (
        %(total_answers)s, %(total_correct)s, %(current_streak)s, %(longest_streak)s, %(last_guess_date)s)
    WHERE user_id = %(user_id)s
      AND (total_answers, total_correct, current_streak, longest_streak) = (
          %(old_total_answers)s, %(old_total_correct)s, %(old_current_streak)s, %(old_longest_streak)s)
      AND last_guess_date IS NOT DISTINCT FROM %(old_last_guess_date)s
      AND NOT EXISTS (SELECT FROM flags_useranswer WHERE user_id = %(user_id)s AND question_id = %(question_id)s)
    RETURNING user_id
), closed AS (
    UPDATE flags_question SET is_open = false
    WHERE id = %(question_id)s AND is_open AND EXISTS (SELECT FROM counted)
)
INSERT INTO flags_useranswer (user_id, question_id, answered_country_id, is_correct, answered_at)
SELECT user_id, %(question_id)s, %(answered_country_id)s, %(is_correct)s, %(answered_at)s FROM counted
RETURNING id
