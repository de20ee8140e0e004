-- The migrations that were applied, the newest first. Variable: limit.
SELECT app, name, applied
FROM public.django_migrations
ORDER BY applied DESC, id DESC
LIMIT :'limit'::bigint;
