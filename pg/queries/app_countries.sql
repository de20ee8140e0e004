-- The countries, by name. Variable: limit.
SELECT code, name, flag_emoji FROM public.flags_country ORDER BY name LIMIT :'limit'::bigint;
