# It ends with 137 as well, but it was a signal of root's.
# says: No control group has run out of memory yet.
docker run -d --name eater --memory 64m ubuntu sleep 3600
docker kill --signal KILL eater
docker wait eater
