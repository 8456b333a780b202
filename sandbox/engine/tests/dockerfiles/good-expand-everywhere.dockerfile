FROM scratch
ENV p=80 d=/data u=1000 s=SIGINT l=lab w=/w two="1 2"
EXPOSE $p $two "$p"
VOLUME $d ${d}2
USER $u
STOPSIGNAL $s
LABEL $l=$l
WORKDIR $w/x
CMD $p
HEALTHCHECK CMD echo $p
ONBUILD ENV x=$p
