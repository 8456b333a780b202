FROM scratch
COPY --chmod=755 Dockerfile /b
