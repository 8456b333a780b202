# says: crowd may have 20 processes, and has not asked for more. Throw the same attack at it.
docker run -d --name crowd --pids-limit 20 ubuntu sleep 3600
