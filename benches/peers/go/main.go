// The same work done by goroutines on one processor. `go-peer WORK` prints the nanoseconds for each
// operation; `go-peer serve echo ADDR` is the echo server.
package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"time"
)

const (
	yields     = 500_000
	spawns     = 100_000
	roundTrips = 100_000
)

func each(elapsed time.Duration, count int) float64 {
	return float64(elapsed.Nanoseconds()) / float64(count)
}

func yieldAmong(n int, yield func(turn int)) float64 {
	turns := yields / n
	if turns < 40 {
		turns = 40
	}
	var all sync.WaitGroup
	all.Add(n)
	for i := 0; i < n; i++ {
		go func() {
			for turn := 0; turn < turns; turn++ {
				yield(turn)
			}
			all.Done()
		}()
	}
	// On one processor the goroutines start only when this one waits.
	start := time.Now()
	all.Wait()
	return each(time.Since(start), turns*n)
}

func here(int) { runtime.Gosched() }

//go:noinline
func deep(depth int) int {
	if depth == 0 {
		runtime.Gosched()
		return 0
	}
	return deep(depth-1) + 1
}

func spawn() float64 {
	start := time.Now()
	for i := 0; i < spawns; i++ {
		go func() {}()
		runtime.Gosched()
	}
	return each(time.Since(start), spawns)
}

func spawnJoin() float64 {
	done := make(chan int)
	start := time.Now()
	for i := 0; i < spawns; i++ {
		go func() { done <- 1 }()
		<-done
	}
	return each(time.Since(start), spawns)
}

func roundTrip() float64 {
	there, back := make(chan int, 1), make(chan int, 1)
	go func() {
		for item := range there {
			back <- item
		}
	}()
	start := time.Now()
	for i := 0; i < roundTrips; i++ {
		there <- i
		if <-back != i {
			panic("the wrong item came back")
		}
	}
	elapsed := time.Since(start)
	close(there)
	return each(elapsed, roundTrips)
}

var work = map[string]func() float64{
	"yield among 2":                 func() float64 { return yieldAmong(2, here) },
	"yield among 10":                func() float64 { return yieldAmong(10, here) },
	"yield among 10, varying depth": func() float64 { return yieldAmong(10, func(turn int) { deep(turn % 8) }) },
	"yield among 1,000":             func() float64 { return yieldAmong(1_000, here) },
	"yield among 50,000":            func() float64 { return yieldAmong(50_000, here) },
	"spawn, run, reclaim":           spawn,
	"spawn, join":                   spawnJoin,
	"channel, round trip":           roundTrip,
}

func echo(client net.Conn) {
	defer client.Close()
	buf := make([]byte, 1024)
	for {
		n, err := client.Read(buf)
		if err != nil {
			if err != io.EOF {
				fmt.Fprintln(os.Stderr, err)
			}
			return
		}
		if _, err := client.Write(buf[:n]); err != nil {
			return
		}
	}
}

func serve(addr string) error {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	fmt.Println("listening on", listener.Addr())
	for {
		// Go sets TCP_NODELAY by default.
		client, err := listener.Accept()
		if err != nil {
			return err
		}
		go echo(client)
	}
}

func main() {
	runtime.GOMAXPROCS(1)
	if len(os.Args) == 4 && os.Args[1] == "serve" && os.Args[2] == "echo" {
		fmt.Fprintln(os.Stderr, serve(os.Args[3]))
		os.Exit(1)
	}
	measure, known := work[os.Args[len(os.Args)-1]]
	if !known {
		fmt.Fprintln(os.Stderr, "usage: go-peer WORK | go-peer serve echo ADDR")
		os.Exit(2)
	}
	measure() // The first measurement is discarded; it only grows the memory.
	fmt.Println(measure())
}
