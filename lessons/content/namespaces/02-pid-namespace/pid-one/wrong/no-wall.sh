# says: pid-test is in the host's own PID namespace, pid:[<number>]; start it without --pid=host.
docker run -d --pid=host --name pid-test ubuntu sleep 3600
