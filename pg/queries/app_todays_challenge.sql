-- Today's challenge (the game's day is a UTC day).
SELECT dc.date, c.name, c.flag_emoji, dc.selection_algorithm_version
FROM public.flags_dailychallenge AS dc
JOIN public.flags_country AS c ON c.id = dc.country_id
WHERE dc.date = (pg_catalog.now() AT TIME ZONE 'UTC')::date;
