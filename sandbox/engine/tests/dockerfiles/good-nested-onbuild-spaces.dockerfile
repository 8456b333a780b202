FROM scratch
  OnBuild   RUN  a  b
