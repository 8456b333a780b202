docker run -d --name two-names --hostname lighthouse ubuntu sleep 600
