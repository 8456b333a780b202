# argv is the process's own to write.
# says: PID 1 of pid-test calls itself "sleep 3600 …", but executes …/tail.
docker run -d --name pid-test ubuntu bash -c 'exec -a "sleep 3600" tail -f /dev/null'
