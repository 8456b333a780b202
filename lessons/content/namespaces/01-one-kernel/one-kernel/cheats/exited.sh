# says: No container called one-kernel is running. A container lasts as long as its first process.
docker run --name one-kernel ubuntu sleep 0
