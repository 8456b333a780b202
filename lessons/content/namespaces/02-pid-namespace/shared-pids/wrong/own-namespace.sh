# says: see-all still has a PID namespace of its own, pid:[<number>]; the host's is pid:[<number>].
docker run -d --name see-all ubuntu sleep 3600
