# A limit of the user's, which does not hold root.
# says: Nothing limits the number of processes in crowd: pids.max of its control group says max.
docker run -d --name crowd --ulimit nproc=20:20 ubuntu sleep 3600
