FROM scratch AS a
ENV x=y
FROM scratch AS A
ENV x=y
