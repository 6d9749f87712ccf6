-- The five tables of nycflights13, each with its natural key.
CREATE TABLE airlines (
    carrier text PRIMARY KEY,
    name    text NOT NULL
);
CREATE TABLE airports (
    faa   text PRIMARY KEY,
    name  text NOT NULL,
    lat   float8 NOT NULL,
    lon   float8 NOT NULL,
    alt   int4 NOT NULL,
    tz    int2,
    dst   text,
    tzone text
);
CREATE TABLE planes (
    tailnum      text PRIMARY KEY,
    year         int2,
    type         text NOT NULL,
    manufacturer text NOT NULL,
    model        text NOT NULL,
    engines      int2 NOT NULL,
    seats        int2 NOT NULL,
    speed        int2,
    engine       text NOT NULL
);
CREATE TABLE weather (
    origin     text NOT NULL,
    time_hour  timestamptz NOT NULL,
    year       int2 NOT NULL,
    month      int2 NOT NULL,
    day        int2 NOT NULL,
    hour       int2 NOT NULL,
    temp       float8,
    dewp       float8,
    humid      float8,
    wind_dir   int2,
    wind_speed float8,
    wind_gust  float8,
    precip     float8,
    pressure   float8,
    visib      float8,
    PRIMARY KEY (origin, time_hour)
);
CREATE TABLE flights (
    time_hour      timestamptz NOT NULL,
    carrier        text NOT NULL,
    flight         int4 NOT NULL,
    origin         text NOT NULL,
    year           int2 NOT NULL,
    month          int2 NOT NULL,
    day            int2 NOT NULL,
    hour           int2 NOT NULL,
    minute         int2 NOT NULL,
    dep_time       int2,
    sched_dep_time int2 NOT NULL,
    dep_delay      int2,
    arr_time       int2,
    sched_arr_time int2 NOT NULL,
    arr_delay      int2,
    tailnum        text,
    dest           text NOT NULL,
    air_time       int2,
    distance       int4 NOT NULL,
    PRIMARY KEY (time_hour, carrier, flight, origin)
);
