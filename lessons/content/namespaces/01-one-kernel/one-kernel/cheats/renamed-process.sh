# says: The first process of one-kernel calls itself "sleep 600 …" and executes …/tail.
docker run -d --name one-kernel ubuntu bash -c 'exec -a "sleep 600" tail -f /dev/null'
