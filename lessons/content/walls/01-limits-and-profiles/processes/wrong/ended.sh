# A shell as the first process gives up when it cannot fork, and the container ends with it.
# says: No container called crowd is running. Let it run sleep, and attack it with docker exec.
docker run --name crowd --pids-limit 20 ubuntu sh -c 'for i in $(seq 60); do sleep 600 & done; wait' || true
