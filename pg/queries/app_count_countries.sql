-- Count countries: 195 after loading.
SELECT pg_catalog.count(*) AS countries FROM public.flags_country;
