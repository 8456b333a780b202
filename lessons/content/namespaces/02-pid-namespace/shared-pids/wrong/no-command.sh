# says: No container called see-all is running.
docker run -d --name see-all --pid=host ubuntu
