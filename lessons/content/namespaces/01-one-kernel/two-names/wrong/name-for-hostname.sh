# --name is what Docker calls the container.
# says: No container called two-names is running.
docker run -d --name lighthouse ubuntu sleep 600
