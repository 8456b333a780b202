# says: Nothing limits the number of processes in crowd: pids.max of its control group says max.
docker run -d --name crowd ubuntu sleep 3600
docker exec crowd sh -c 'for i in $(seq 30); do sleep 600 > /dev/null 2>&1 & done'
