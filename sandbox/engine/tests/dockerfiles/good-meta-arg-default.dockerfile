ARG a=1
ARG b=${a}2
FROM scratch
ARG b
ARG a=9
ENV c=$b d=$a
