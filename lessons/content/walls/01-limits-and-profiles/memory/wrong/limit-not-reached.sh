# says: A container may take 67108864 bytes and has not tried to take more. Let it run tail /dev/zero.
docker run -d --memory 64m ubuntu sleep 3600
