docker run -d --name crowd --pids-limit 20 ubuntu sleep 3600
docker exec crowd sh -c 'for i in $(seq 60); do sleep 600 > /dev/null 2>&1 & done' || true
