# says: A container has the hostname lighthouse, but Docker knows it by another name than two-names.
docker run -d --hostname lighthouse ubuntu sleep 600
