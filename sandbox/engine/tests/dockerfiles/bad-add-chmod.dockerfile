FROM scratch
ADD --chmod=755 Dockerfile /b
