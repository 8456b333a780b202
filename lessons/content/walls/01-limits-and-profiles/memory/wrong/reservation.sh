# A reservation is what the kernel tries to leave to a container, and no limit.
# says: A container runs without a limit on its memory: memory.max of its control group says max.
docker run -d --memory-reservation 64m ubuntu sleep 3600
