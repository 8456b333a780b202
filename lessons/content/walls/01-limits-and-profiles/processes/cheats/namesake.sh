# The refusals are another container's.
# says: crowd may have 20 processes, and has not asked for more. Throw the same attack at it.
docker run -d --name other --pids-limit 20 ubuntu sleep 3600
docker exec other sh -c 'for i in $(seq 60); do sleep 600 > /dev/null 2>&1 & done' || true
docker run -d --name crowd --pids-limit 20 ubuntu sleep 3600
