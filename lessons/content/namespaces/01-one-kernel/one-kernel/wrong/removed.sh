# says: No container called one-kernel is running. A container lasts as long as its first process.
docker run -d --name one-kernel ubuntu sleep 600
docker rm -f one-kernel
