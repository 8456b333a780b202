# says: No container called pid-test is running. A container lasts as long as its PID 1.
docker run -d --name pid-test ubuntu sleep 3600
docker stop -t 0 pid-test
