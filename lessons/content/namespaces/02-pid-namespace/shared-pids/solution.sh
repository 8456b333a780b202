docker run -d --name see-all --pid=host ubuntu sleep 3600
