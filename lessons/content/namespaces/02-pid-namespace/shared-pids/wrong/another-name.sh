# says: A container shares the host's PID namespace, but it is not called see-all.
docker run -d --name seeall --pid=host ubuntu sleep 3600
