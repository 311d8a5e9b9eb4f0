// What a program does about OpenMP before it computes.
#pragma once

namespace tessera {

// For the first line of main(int argc, char** argv). OpenMP's waiting threads spin for long by default, and on a
// machine that is busy (with our own loader, say) they take the processor from the thread they wait for: a step becomes
// ten times slower. The library reads its environment before main, so the program starts itself once more with a
// setting that lets them sleep after `spins`, 10,000 of which take about 0.2 ms. An environment that sets
// OMP_WAIT_POLICY or GOMP_SPINCOUNT is left alone.
void let_waiting_threads_sleep(char** argv, int spins = 10'000);

}  // namespace tessera
