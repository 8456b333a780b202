# says: PID 1 of pid-test executes /bin/busybox, where sleep is one of many names of one program. Start it from ubuntu.
docker run -d --name pid-test alpine sleep 3600
