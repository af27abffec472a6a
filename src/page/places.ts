/** What asks whose a place is and who writes there, in a file of its own: hardly anybody ever sees it. */
import './styles/places.css';

export { default as Whose } from './components/Whose.svelte';
export { default as Writers } from './components/Writers.svelte';
