# The engine still lists it, with everything as asked for; the kernel has nothing of it.
# says: No container called pid-test is running. A container lasts as long as its PID 1.
docker run --name pid-test ubuntu sleep 0
