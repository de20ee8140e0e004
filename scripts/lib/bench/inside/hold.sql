\sleep 3600 s
