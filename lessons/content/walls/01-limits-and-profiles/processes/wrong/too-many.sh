# says: crowd may have 1000 processes. Sixty fit in there; choose a limit below that.
docker run -d --name crowd --pids-limit 1000 ubuntu sleep 3600
docker exec crowd sh -c 'for i in $(seq 30); do sleep 600 > /dev/null 2>&1 & done'
